meshproof repro test/tickets/pod-address --expect 403 --curl 'kubectl exec -n foo deploy/sleep -- curl http://10.244.1.17:8080/'
