/** The groups of scenarios, with what each proves. */

/** What the groups of meshproof's own scenarios prove, one sentence each. A user's groups have only their names. */
const PROVEN: Readonly<Record<string, string>> = {
  jwt: "RequestAuthentication and AuthorizationPolicy work as documented, alone and together, with every signature algorithm and every place of the keys.",
  paths: "Paths at the ingress gateway can be excluded from JWT authentication.",
  authn: "RequestAuthentication finds tokens where it must, verifies their claims, and applies to the right workloads.",
  authz:
    "AuthorizationPolicy compares each field as documented, and CUSTOM, DENY and ALLOW are evaluated in this order.",
  "gateway-api": "Policies hold at the Gateway that they are attached to, and at nothing else.",
  waypoint: "Policies hold at the waypoint of what they are attached to, and requests that bypass it are not judged.",
  jwks: "New keys are used, and a JWKS server that is slow, broken or unreachable does not let bad tokens pass.",
  tokens: "Malformed, changed and hostile tokens are rejected.",
  bypass: "Other spellings of a path, a host or a header do not bypass a policy.",
};

/** What a scenario needs to have to be put into a group. */
interface Member {
  readonly id: string;
  readonly tags: readonly string[];
}

export function provenBy(group: string): string | undefined {
  return PROVEN[group];
}

/** The part of an id before its last slash. */
const groupOf = ({ id }: Member): string => id.slice(0, Math.max(0, id.lastIndexOf("/")));

const isDocumented = ({ tags }: Member): boolean => tags.includes("documented");

/** Groups the scenarios: those from Istio's documentation come first, in each group and as groups. */
export function groupsOf<Scenario extends Member>(
  scenarios: readonly Scenario[],
): [name: string, members: Scenario[]][] {
  const groups = [...Map.groupBy(scenarios, groupOf)].map(
    ([name, members]) =>
      [name, [...members.filter(isDocumented), ...members.filter((one) => !isDocumented(one))]] as [string, Scenario[]],
  );
  const documented = groups.filter(([, members]) => members.some(isDocumented));
  return [...documented, ...groups.filter((group) => !documented.includes(group))];
}
