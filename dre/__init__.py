import resource
import sys

# Python takes a short write for a whole one: under a limit on the size of files it would leave bytecode of ours that is
# cut off, and no later run could start. That of this file has to be smaller than any limit, so it says no more.
if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
    sys.dont_write_bytecode = True
