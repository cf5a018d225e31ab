"""Run many jobs (`-m`), each in its own process, on this machine or on a cluster."""
