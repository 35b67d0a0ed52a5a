/** What would make a ticket reproducible, in words. */

import type { Answered, Difference, LeftOut } from "../harness/model/ticket.ts";

/** What would make it possible to reproduce, a clause; undefined where nothing is needed. */
export function describeNeed(difference: Difference): string | undefined {
  if (difference.decides === "no") return undefined;
  switch (difference.kind) {
    case "object-left-out":
      return NEEDS[difference.because];
    case "field-left-out":
      return "take it out of the YAML if it does not matter, or ask a mesh that has it";
    case "mesh-setting":
      return "take it out of the YAML if it does not matter, or ask a mesh that has this setting";
    case "part-left-out":
      return "write the request without it if it does not matter";
    case "placeholder":
      return "write a value that is not a secret into the request and into the YAML";
    case "authorizer":
      return "run it again on a new cluster (another --name): the server that answers in its place did not answer so";
    case "token-not-given":
      return "give the token by --token, or its claims by --claims";
    case "token-times":
      return `say what the reporter saw, by --seen ${seenAs(difference.main)} or --seen '${difference.or === "early" ? "Jwt not yet valid" : "Jwt is expired"}', or what the token was: --token-was ${difference.was}, --token-was ${difference.or}`;
    case "token-place":
      return "say it by --in header:NAME, --in cookie:NAME or --in query:NAME";
    case "label-assumed":
    case "port-assumed":
      return "add the Deployment and the Service to the YAML";
    case "namespace-assumed":
      return "write the namespace into each object";
    case "no-endpoint":
      return "add the Deployment and the Service to the YAML";
    case "host-open":
    case "host-assumed":
      return "write the host into the request, or add the header Host";
    case "value-open":
      return "write the value into the YAML";
    case "gateway-port":
      return "ask the ticket's gateway for its ports (kubectl get service, targetPort), and write the policy without ports if that does not matter";
    case "way-open":
    case "workload-open":
      return "name the Service and its port in the request: --request 'GET http://SERVICE.NAMESPACE:PORT/path'";
    case "other-caller":
      if (difference.open === "ambient") return "add the sender's Namespace, with its labels, to the YAML";
      return difference.open === "way"
        ? "add the Gateway and the VirtualService to the YAML, or name the Service in the request"
        : "say who sends, by --from NAMESPACE/SERVICEACCOUNT, --from outside (no sidecar) or --from gateway";
    case "address":
      return "no option sets the sender's address: compare it with the list in the policy, and if the reporter saw the answer below, say so by --seen";
    case "gateway-account":
      return "compare the policy with the service account of your gateway";
    case "server-port":
      return "write the Gateway with the ports 80 and 443, and the policy without ports, if that does not matter";
    case "keys":
      if (difference.served === "no-host")
        return `write the whole host (name.namespace.svc.cluster.local), or say whether istiod reaches it, by --jwks '${difference.iss}=reachable' or --jwks '${difference.iss}=unreachable'`;
      if (difference.keys.some(({ alg }) => alg.startsWith("HS")))
        return "add the issuer's keys to the rule, as jwks, if it has such a key: a URL with a symmetric key would publish the secret";
      return "write a jwksUri with http://, or jwks, if that does not matter";
    case "gateway":
      return "add the gateway's Deployment or Service to the YAML, or put the policy where the gateway is";
    case "sidecar-open":
      return `say what the reporter saw, by --seen ${seenAs(difference.main)} or --seen ${seenAs(difference.other)}, or add the Namespace with its label istio-injection to the YAML`;
    case "gateway-assumed":
      return "add the Gateway and its routes to the YAML";
    case "ztunnel":
      return "ask a mesh that has ztunnel; if it does not matter, take it out of the YAML, or add the Namespace without istio.io/dataplane-mode";
    case "sidecar-behind-waypoint":
      return "ask a mesh that has this setting; if the policy does not matter, take it out of the YAML";
    case "waypoint-open":
      return "add the Namespace, with its labels, to the YAML";
    case "not-through":
      return "run it again: a proxy may have lagged behind; if it stays, ask a mesh that has ztunnel";
    case "seen-otherwise":
      return "look at what was changed or left out below, and at the keys, the times and the place of the token";
    default:
      return undefined;
  }
}

const NEEDS: Readonly<Record<LeftOut, string>> = {
  irrelevant: "",
  "not-supported": "take it out of the YAML if it does not matter, or ask a mesh that has it",
  "gateway-api": "ask a mesh that has it, or take it out of the YAML if it does not matter",
  "gateway-class": "ask a mesh that has it, or write gatewayClassName: istio if that does not matter",
  "gateway-addresses": "write Istio's Gateway and VirtualService for the gateway at this address instead",
  "made-by-istiod": "",
  "external-authorizer":
    "what the external authorizer answers is not in the ticket: say it by --authorizer 302 (or 200, 401, 403), since its answer counts before any token is looked at",
  "egress-gateway": "meshproof's cluster has no egress gateway: ask a mesh that has one",
  "target-ref": "repro does not send to a ServiceEntry through a waypoint: ask a mesh that has one",
};

/** The outcome to give for an answer: what goes through is 200. */
function seenAs({ status, by }: Answered): string {
  return status === 0 ? "closed" : String(by === "workload" ? 200 : status);
}
