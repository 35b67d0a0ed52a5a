import type { Beyond, Reach } from "../harness/model/finding.ts";

/** How an object reaches beyond the run's namespaces, a clause: `Gateway x opens the mesh's own gateway`. */
export function describeReach({ object, beyond }: Reach): string {
  return `${object.kind} ${object.name} ${describeBeyond(object.kind, beyond)}`;
}

function describeBeyond(kind: string, beyond: Beyond): string {
  switch (beyond.kind) {
    case "kind":
      return `is of the kind ${kind}${beyond.group === "" ? "" : `.${beyond.group}`}, which a run does not create on a cluster that exists`;
    case "finalizers":
      return "has finalizers, which may keep it from being removed";
    case "owner-references":
      return "has ownerReferences";
    case "no-namespace":
      return "names no namespace, so it is applied to the context's";
    case "namespace":
      return `is applied to ${beyond.namespace}, where others work`;
    case "other-namespace":
      return "is not the run's own";
    case "service-type":
      return `is of the type ${beyond.type}`;
    case "external-ips":
      return "has externalIPs, which takes the traffic to these addresses";
    case "load-balancer-ip":
      return "has a loadBalancerIP";
    case "host-field":
      return `has ${beyond.field}`;
    case "place-field":
      return `has ${beyond.field}, which may take the place of others' pods`;
    case "volume":
      return `has the volume ${beyond.volume} of the type ${beyond.type}`;
    case "privileged":
      return `has the privileged container ${beyond.container}`;
    case "capabilities":
      return `adds capabilities to the container ${beyond.container}`;
    case "host-port":
      return "has a hostPort";
    case "exported":
      return "is exported to every namespace";
    case "mesh-gateway":
      return "opens the mesh's own gateway";
    case "load-balancer":
      return "makes a gateway with a load balancer";
    case "attached": {
      const { kind: parent, namespace, name } = beyond.parent;
      return `is attached to the ${parent} ${namespace}/${name}, where others work`;
    }
  }
}
