"""Hyper-parameter search: a family's space, trials in processes of their own, a study that survives
being killed.

space.py   what may be searched: ranges and choices by setting
trial.py   one trial, as a process: features, training, judgement on the validation split
pool.py    the processes of running trials, from the outside
prune.py   which running trial is not worth its time
study.py   the record: which trials were run, which comes next
search.py  the loop over all of it
report.py  the best settings as a file, the table and the page
batch.py   the same as steps of a Kubeflow pipeline
"""
