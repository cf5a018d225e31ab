"""Train strategies from the least invasive to the most until one gains nothing, and compare them."""
