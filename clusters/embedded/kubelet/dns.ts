import type { V1Pod } from "@kubernetes/client-node";

export interface ClusterDns {
  readonly server: string;
  /** For example `cluster.local`. */
  readonly domain: string;
}

/**
 * A pod's /etc/resolv.conf by its dnsPolicy and dnsConfig.
 * @param nodeFile the node's own resolv.conf, for the policy `Default`
 */
export function resolvConf(pod: V1Pod, dns: ClusterDns, nodeFile: string): string {
  const policy = pod.spec?.dnsPolicy ?? "ClusterFirst";
  const more = pod.spec?.dnsConfig;
  const namespace = pod.metadata?.namespace ?? "default";
  let nameservers: string[] = [];
  let searches: string[] = [];
  let options = new Map<string, string | undefined>();
  if (policy === "Default" || (policy === "ClusterFirst" && pod.spec?.hostNetwork)) {
    ({ nameservers, searches, options } = parseResolvConf(nodeFile));
  } else if (policy !== "None") {
    nameservers = [dns.server];
    searches = [`${namespace}.svc.${dns.domain}`, `svc.${dns.domain}`, dns.domain];
    options = new Map([["ndots", "5"]]);
  }
  nameservers = [...new Set([...nameservers, ...(more?.nameservers ?? [])])];
  searches = [...new Set([...searches, ...(more?.searches ?? [])])];
  for (const { name, value } of more?.options ?? []) if (name) options.set(name, value);
  return [
    ...nameservers.map((server) => `nameserver ${server}`),
    ...(searches.length ? [`search ${searches.join(" ")}`] : []),
    ...(options.size ? [`options ${[...options].map(([k, v]) => (v === undefined ? k : `${k}:${v}`)).join(" ")}`] : []),
    "",
  ].join("\n");
}

function parseResolvConf(text: string): {
  nameservers: string[];
  searches: string[];
  options: Map<string, string | undefined>;
} {
  const nameservers: string[] = [];
  let searches: string[] = [];
  const options = new Map<string, string | undefined>();
  for (const line of text.split("\n")) {
    const [key, ...words] = line.trim().split(/\s+/);
    if (key === "nameserver" && words[0]) nameservers.push(words[0]);
    if (key === "search") searches = words;
    if (key === "options")
      for (const word of words) {
        const [name = "", value] = word.split(":", 2);
        options.set(name, value);
      }
  }
  return { nameservers, searches, options };
}

/** A pod's host name (at most 63 characters) and, where it has a subdomain, its full name. */
export function hostNames(
  pod: V1Pod,
  domain: string,
): { readonly hostname: string; readonly fqdn: string | undefined } {
  const { hostname, subdomain } = pod.spec ?? {};
  const short = (hostname ?? pod.metadata?.name ?? "").slice(0, 63).replace(/[-.]+$/, "");
  const fqdn = subdomain ? `${short}.${subdomain}.${pod.metadata?.namespace}.svc.${domain}` : undefined;
  return { hostname: pod.spec?.setHostnameAsFQDN && fqdn ? fqdn : short, fqdn };
}

/** A pod's /etc/hosts, with its hostAliases. */
export function hostsFile(pod: V1Pod, podIp: string, domain: string): string {
  const { hostname, fqdn } = hostNames(pod, domain);
  const lines = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    [podIp, ...(fqdn ? [fqdn] : []), ...(hostname === fqdn ? [] : [hostname])].join("\t"),
  ];
  const aliases = pod.spec?.hostAliases ?? [];
  if (aliases.length) {
    lines.push("", "# Entries added by HostAliases.");
    for (const { ip, hostnames } of aliases) lines.push([ip, ...(hostnames ?? [])].join("\t"));
  }
  return `${lines.join("\n")}\n`;
}
