/** The command line that the commands about streams share. */
import { parseArgs } from 'node:util';

/** --model, --peer, --streams 1,8, --tokens 96, --rounds 3; texts, as they were given. */
export function streamOptions() {
  return parseArgs({
    options: {
      model: { type: 'string' },
      peer: { type: 'string' },
      streams: { type: 'string', default: '1,8' },
      tokens: { type: 'string', default: '96' },
      rounds: { type: 'string', default: '3' },
    },
  }).values;
}
