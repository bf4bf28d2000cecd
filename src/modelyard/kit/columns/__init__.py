"""Columns of a person's table: what each is, its cells as values, and the numbers that a model
takes.

| module | |
|---|---|
| `schema`, `settings` | a column's role, how files write it, what requests hold |
| `infer`, `values` | roles judged by the cells; cells as values |
| `edits` | a person's own schema file |
| `frames`, `overview` | a whole table, and what the card shows of it |
| `encode`, `parts`, `measures`, `fitting` | values to model inputs, fitted on training rows |
| `host`, `cells`, `cautions`, `rows` | requests: one row of the table, or a file of them |
"""
