meshproof repro test/tickets/strict-mesh-open --expect 200 --curl 'kubectl exec -n legacy deploy/sleep -c sleep -- curl -s http://httpbin.foo:8000/ip'
