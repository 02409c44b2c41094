"""A collection that outlives its model: measured first, published without rewriting a row, encoded anew behind."""
