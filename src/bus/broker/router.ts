/**
 * Who gets a published message: all plain listeners, one of each queue group, and word to the sender when there is
 * nobody. Knows connections only as `Peer`, and nothing of sockets.
 */
import type { Random } from '../../base/ports.js';
import { SubjectTree, type Listener } from '../subject-tree.js';
import { NO_RESPONDERS } from './protocol-writer.js';

/** A message on its way; leading `headerBytes` of `payload` are headers. */
export interface Message {
  readonly subject: string;
  readonly reply: string | undefined;
  readonly headerBytes: number;
  readonly payload: Buffer;
}

export interface Subscriber extends Listener {
  readonly sid: string;
  readonly peer: Peer;
}

/** One connection as the router sees it. */
export interface Peer {
  /** False: it does not want its own messages back. */
  readonly echo: boolean;
  /** True: it wants to hear at once that nobody listens to its request. */
  readonly noResponders: boolean;
  deliver(subscriber: Subscriber, message: Message): void;
}

export class Router {
  readonly #tree = new SubjectTree<Subscriber>();

  constructor(private readonly random: Random) {}

  add(subscriber: Subscriber): void {
    this.#tree.add(subscriber);
  }

  remove(subscriber: Subscriber): void {
    this.#tree.remove(subscriber);
  }

  /** Delivers at once. False when the subject is not one. */
  publish(from: Peer, message: Message): boolean {
    const matches = this.#tree.match(message.subject);
    if (matches === undefined) return false;
    let delivered = 0;
    const give = (subscriber: Subscriber | undefined): void => {
      if (subscriber === undefined) return;
      delivered++;
      subscriber.peer.deliver(subscriber, message);
    };
    const mayHear = (subscriber: Subscriber): boolean => subscriber.peer !== from || from.echo;
    for (const subscriber of matches.each) if (mayHear(subscriber)) give(subscriber);
    for (const group of matches.groups.values()) {
      const members = from.echo ? group : group.filter(mayHear);
      give(members[Math.floor(this.random.next() * members.length)]);
    }
    if (delivered === 0 && message.reply !== undefined && from.noResponders) this.#tellNobody(from, message.reply);
    return true;
  }

  /** The sender alone hears it, where it listens for its answer. */
  #tellNobody(from: Peer, replySubject: string): void {
    const notice = {
      subject: replySubject,
      reply: undefined,
      headerBytes: NO_RESPONDERS.length,
      payload: NO_RESPONDERS,
    };
    const own = this.#tree.match(replySubject)?.each.find((subscriber) => subscriber.peer === from);
    if (own !== undefined) from.deliver(own, notice);
  }
}
