"""The task `answer`: the words of a text that answer a question.

reading  SQuAD's JSON, versions 1.1 and 2.0
spec     question and text to windows of tokens; numpy and tokenizers
choose   the best span of all windows, and when there is none; numpy
host     answers
data     from files to arrays
network  networks that score where an answer begins and ends; torch
judged   exact match and F1 as SQuAD counts them, the baseline, and the card
family   building
samples  the built-in questions
"""
