meshproof repro docs/examples/tickets/service-entry --expect 403 --curl "kubectl exec -n ns3 deploy/app -- curl https://abc.externalservice.com/"
