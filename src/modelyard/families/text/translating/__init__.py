"""The task translate: one text becomes another, token by token.

samples   built-in pairs: how dates, times, amounts and lists are written in two languages
reading   pairs of texts in tables and JSON rows
spec      pairs to tokens; numpy and `tokenizers` only
data      pairs to arrays and assets
network   an encoder and a decoder (T5), and the graphs that serving calls; imports torch
decoding  tokens one after the other, greedily or with beams; numpy only
host      answers
judged    BLEU, chrF and exact match, next to copying and a translation memory
family    training and judging
"""
