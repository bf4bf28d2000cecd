"""Classifiers of anything: from scores to calibrated probabilities and a class, and how such
answers are judged.

decision    what serving applies: calibration, threshold; numpy only
choosing    how calibration and threshold are fitted on the validation split
answers     the response of a classifier
judged      answers in the data's own class order, and their metrics
plots       the figures that a person of the field expects
evaluate    all of these as one Evaluation
"""
