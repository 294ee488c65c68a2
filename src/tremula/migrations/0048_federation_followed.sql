-- What is to be sent stands in federation_outbox: nobody searches the journal for it, nor
-- does a program that may still run beside this one.
DROP TABLE federation_followed;
