"""InfluxDB 1.x: line protocol over /write, questions in InfluxQL over /query."""
