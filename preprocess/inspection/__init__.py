"""What `preprocess.inspect` shows of a data set: tables, a check of every byte, pictures."""
