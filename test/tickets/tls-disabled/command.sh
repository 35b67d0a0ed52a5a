meshproof repro test/tickets/tls-disabled --expect 200 --curl 'kubectl exec -n shop deploy/web -- curl http://orders.shop/'
