"""Files: uploads, downloads, thumbnails, copies of other servers' (CS "Content
repository", SS "Content Repository").
"""
