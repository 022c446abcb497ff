"""The microservice chassis: what every Hadir service needs and no service owns. Knows no business word."""
