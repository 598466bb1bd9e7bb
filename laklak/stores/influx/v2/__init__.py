"""InfluxDB 2.x: line protocol and questions in Flux, over influxdb-client's asynchronous services."""
