meshproof repro docs/examples/tickets/host-with-port --expect 200 --curl "curl https://lolcat.ourdomain.com/ -H 'Host: lolcat.ourdomain.com:443'"
