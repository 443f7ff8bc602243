"""The source of a run: from a folder, a list, CSV or Parquet to numbered rows, in a fixed order.

`listing` and `tables` read what users have, `frozen` keeps it as Parquet, `parts` cuts it.
"""
