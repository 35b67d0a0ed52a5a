import { shellWords } from "../harness/shell-words.ts";

/** Flags with their values: `true` for a flag alone, a list for one that is repeated; undefined leaves it out. */
export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** A command as a person types it into a shell: what runs it again. */
export function commandOf(verb: string, names: readonly string[], flags: Flags): string {
  const given = Object.entries(flags).flatMap(([flag, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [flag] : [value].flat().flatMap((one) => [flag, one]);
  });
  return shellWords(["meshproof", verb, ...names, ...given]);
}
