// @ts-check
/**
 * What `npm start` and `npm stop` say about themselves. Text only; what the options do is elsewhere.
 */

/** Shown with every fault of the command line. */
export const startUsage =
  'npm start -- [--foreground] [--port N] [--host ADDRESS] [--profile NAME|PATH | --model FILE.gguf [--context N] [--slots N]] [--wait SECONDS]';

/** Shown with every fault of the command line. */
export const stopUsage = 'npm stop -- [--timeout SECONDS] [--force]';

/** Answer to `npm start -- --help`. */
export const startHelp = `usage: ${startUsage}

Sets up what is not set up, starts the gateway in the background and says where it is and what to try.

  --profile NAME|PATH  the profile to start with (default: LLAMAESTRO_PROFILE, else the one active last, at first demo)
  --model FILE.gguf    one model file instead of a profile
  --context N          its tokens over all slots together
  --slots N            its sequences at a time (default: 1)
  --port N             where the API listens (default: LLAMAESTRO_PORT, else 8080)
  --host ADDRESS       on which address (default: LLAMAESTRO_HOST, else 127.0.0.1)
  --foreground         stay in this terminal; Ctrl-C stops it
  --wait SECONDS       how long its models may take to load (default: 600)
  --help               this text

Exit status: 0 it runs, 1 it could not be started, 2 a fault of the command line, 3 one with other settings runs.
`;

/** Answer to `npm stop -- --help`. */
export const stopHelp = `usage: ${stopUsage}

Lets the running gateway finish its requests and end, and makes sure that no process of it is left.

  --timeout SECONDS  how long the requests may take (default: 35); then it is left running
  --force            gives the requests up
  --help             this text
`;

/**
 * @param {readonly string[]} argv
 * @returns {boolean}
 */
export function wantsHelp(argv) {
  return argv.includes('--help') || argv.includes('-h');
}
