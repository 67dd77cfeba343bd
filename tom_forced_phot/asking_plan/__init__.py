"""What is asked, before it is asked: dates, requests, and the words for both. Pure: values in, values out."""
