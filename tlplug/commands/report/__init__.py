"""Finished runs, gathered into one comparison; or one run's report, written anew."""
