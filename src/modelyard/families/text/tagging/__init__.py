"""The task `tag`: spans of a text, by a chain of tags over its words.

schemes   IOB1, BIO and BIOES, and the spans that tags say
columns   files with a word and its tags a line
reading   these, JSON lines, tables and text files of equally many lines
spec      from words to tokens, in windows; numpy and tokenizers
chain     scores of tags that follow each other: the best tags, and how sure they are; numpy
host      answers
data      from files to arrays
network   the chain in training, and networks that score the tags of each token; torch
judged    F1 of spans, the baseline, and the card
family    building
samples   the built-in sentences
"""
