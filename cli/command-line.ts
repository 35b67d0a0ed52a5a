import { shellWords } from "../harness/shell-words.ts";

/** Flags with their values: `true` for a flag without value, a list for a repeated one; undefined leaves it out. */
export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** The command line that repeats a command, quoted for a shell. */
export function commandOf(verb: string, names: readonly string[], flags: Flags): string {
  return shellWords(["meshproof", verb, ...names, ...argsOf(flags)]);
}

/** The flags as arguments. */
export function argsOf(flags: Flags): string[] {
  return Object.entries(flags).flatMap(([flag, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [flag] : [value].flat().flatMap((one) => [flag, one]);
  });
}
