/** Renamed keys of scenario.yaml: the old names work in this version, with a warning. */

import { isMap, type Node, Pair, Scalar } from "yaml";
import type { Problem } from "./problem.ts";
import { entriesOf, itemsOf, type Source, startOf, textOf, valueOf } from "./source.ts";

/** Owner of a known failure from before the key `owner` was required. */
const NO_OWNER = "an unnamed owner";

/** Renames old keys in the tree; their positions stay. */
export function renameOldKeys(root: Node | null | undefined, source: Source): Problem[] {
  const warnings: Problem[] = [];
  const warn = (at: Node, message: string, hint: string): void =>
    void warnings.push({ position: source.positionAt(startOf(at)), message, hint });
  const rename = (mapping: Node | null | undefined, from: string, to: string): void => {
    const old = entriesOf(mapping).find(({ key }) => key === from)?.keyNode as Scalar | undefined;
    if (old === undefined || valueOf(mapping, to) !== undefined) return;
    setText(old, to);
    warn(old, `the key "${from}" has a new name`, `write ${to}; the next version does not know ${from}`);
  };

  const spec = valueOf(root, "spec");
  for (const step of itemsOf(valueOf(spec, "steps"))) rename(step, "asked", "jwksFetchedBy");
  for (const { value } of entriesOf(valueOf(spec, "tokens"))) {
    const signedBy = valueOf(value, "signedBy");
    if (textOf(signedBy) !== "stranger") continue;
    setText(signedBy as unknown as Scalar, "unknown-key");
    warn(
      signedBy!,
      'the value "stranger" has a new name',
      "write unknown-key; the next version does not know stranger",
    );
  }
  const known = valueOf(valueOf(root, "metadata"), "knownFailure");
  const isOld = valueOf(known, "until") !== undefined;
  rename(known, "until", "expires");
  if (isOld && isMap(known) && valueOf(known, "owner") === undefined) {
    warn(known, "the known failure has no owner", "add owner: a team or a person who answers for it");
    known.items.push(new Pair(new Scalar("owner"), new Scalar(NO_OWNER)) as never);
  }
  return warnings;
}

function setText(scalar: Scalar, text: string): void {
  scalar.value = text;
  scalar.source = text;
}
