"""`compare`: from the least invasive strategy to the most, for as long as it pays."""
