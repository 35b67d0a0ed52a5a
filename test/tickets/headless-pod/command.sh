meshproof repro test/tickets/headless-pod --expect 403 --curl 'kubectl exec -n data deploy/client -- curl http://store-0.store.data.svc.cluster.local:9200/_cat'
