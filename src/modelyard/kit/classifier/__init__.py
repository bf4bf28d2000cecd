"""Classifiers of labelled files: pictures, sounds, all that decodes to an array of fixed shape.

kind      what such files are called and how they end; how large they may be; base64 of requests
config    the settings that all such classifiers have
examples  labelled examples, and what is wrong with their labels
folders   which files a raw folder holds, and their labels
listed    labelled files that a table lists
rows      examples that are cells of tables or fields of JSON rows
fasttext  rows with labels in front of the text
divide    which files train, which tune, which judge
work      work on many files at once
store     the layout of the features folder
spec      the asset that decodes bytes
data      the reading class
family    the building class; imports torch
host      the answering class
"""
