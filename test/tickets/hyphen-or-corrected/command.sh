meshproof repro test/tickets/hyphen-or-corrected --expect 403 --curl 'kubectl exec -n shop deploy/web -- curl http://orders.shop/admin'
