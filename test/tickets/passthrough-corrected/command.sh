meshproof repro test/tickets/passthrough-corrected --expect 200 --curl 'curl https://keycloak.example.com'
