meshproof repro test/tickets/egress-gateway --expect 403 --curl 'kubectl exec -n apps deploy/sleep -- curl -s http://edition.cnn.com/politics'
