raise ImportError("libnothing.so.7 is not there")
