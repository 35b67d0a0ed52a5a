meshproof repro test/tickets/grpc-method-corrected --expect 200 --request 'POST http://depot.metrics:9901/metrics.Depot/Info' --header 'content-type: application/grpc' --from metrics/reader
