package storage

import (
	"hash/maphash"

	"github.com/cespare/xxhash/v2"
)

// A key's hash tells where its item is:
//
//	63                                           12       0
//	┌────────────────────────────────────┬────────┬────────┐
//	│ bucket                             │ shard  │  tag   │
//	└────────────────────────────────────┴────────┴────────┘
//
// There are as many bits for the shard as there are shards to choose from; with one, none.
//
// The hash is secret, so that nobody can choose keys that all have the same two buckets and lose what
// these do not hold. Many keys of one XXH64 are easily made, be there a seed or not, and a secret
// that is mixed in after hashing leaves equal hashes equal: decisions/0120.
//
// Without a file all bits are maphash's. Its seed cannot be kept. So with a file the bits for the
// shard are XXH64's, and the next process looks for an item in the shard in which this one has stored
// it; the index it makes anew.

// secret does not leave the process.
var secret = maphash.MakeSeed()

// Hash is the hash that this store's methods want with a key: another one in each process, and of a
// store with a file another than of one without.
func (st *Store) Hash(key []byte) uint64 {
	h := maphash.Bytes(secret, key)
	if st.lasting != 0 {
		h = h&^st.lasting | xxhash.Sum64(key)&st.lasting
	}
	return h
}

// hash is Hash of a key that belongs to this shard.
func (s *shard) hash(key []byte) uint64 {
	lasting := s.store.lasting
	return maphash.Bytes(secret, key)&^lasting | uint64(s.shardNumber())<<shardBit&lasting
}

// shardBit is the lowest bit of the hash that chooses the shard. The tags use those below.
const shardBit = 12

func (st *Store) shard(hash uint64) *shard {
	return &st.shards[hash>>shardBit&uint64(len(st.shards)-1)]
}
