"""Which classes serve which task: a module for each half, so that what reads imports nothing that
trains. They import by statements, which the key of a stage follows."""
