"""Classifiers whose examples have any number of labels. Each class here goes in front of the one
of `modelyard.kit.classifier` in the bases of a family's class, and changes what many labels change.

config    how the labels of an example are written
data      reads them, and divides examples so that rare labels are in every split
decision  probabilities by label, and thresholds; numpy only
host      the answering class
choosing  fits temperature and thresholds on the validation split
evaluate  F1 over all answers and by label, next to the most frequent labels
family    the building class; imports torch
"""
