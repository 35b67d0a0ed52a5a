meshproof repro test/tickets/mesh-route --expect 200 --curl 'kubectl exec -n prod deploy/client -- curl http://api.prod:80/'
