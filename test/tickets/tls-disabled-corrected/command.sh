meshproof repro test/tickets/tls-disabled-corrected --expect 200 --curl 'kubectl exec -n shop deploy/web -- curl http://orders.shop/'
