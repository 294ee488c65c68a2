-- Who is to be told of an event in a thread
-- (src/tremula/features/thread_subscriptions/storage.py).
CREATE INDEX thread_subscriptions_by_thread ON thread_subscriptions (room_nid, root_id);
