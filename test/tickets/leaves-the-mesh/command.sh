meshproof repro test/tickets/leaves-the-mesh --expect 403 --curl 'kubectl exec -n closed deploy/app -- curl https://www.example.org/'
