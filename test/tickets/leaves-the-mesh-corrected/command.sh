meshproof repro test/tickets/leaves-the-mesh-corrected --expect closed --curl 'kubectl exec -n closed deploy/app -- curl https://www.example.org/'
