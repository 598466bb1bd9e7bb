"""The words of the program as frozen data: no I/O, no clock, and no imports from the package except each other."""
