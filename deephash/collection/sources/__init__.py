"""Where the pictures of a collection come from: files, members of tar shards, rows of Parquet files, objects."""
