"""Classifiers of text: tokenizers, what is read of a text, and what to compare with.

tokenizer  tokenizers as training and serving open them, and training one
fitting    which tokenizer and which length
spec       the asset that turns text into tokens
groups     texts of similar length, for a graph at once
words      figures of a text, and a text with each of its words hidden
encoder    a transformer with a head, and guessing hidden tokens; imports torch
simple     word counts and logistic regression; imports scikit-learn
"""
