"""How waits end, groups nest and the process hears signals."""
