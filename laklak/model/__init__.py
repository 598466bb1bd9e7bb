"""The words of the program as frozen data: no I/O, no clock, nothing imported from the package but itself."""
